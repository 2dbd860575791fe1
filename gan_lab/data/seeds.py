"""Seeds as a function of where a run stands, so that nothing about randomness has to be saved."""

_MASK = (1 << 64) - 1


def mix(*integers: int) -> int:
    """A 63-bit seed from integers, whose order and number matter; neighbours are unrelated.

    Randomness is a function of (seed, epoch, batch, rank): the permutation of an epoch comes from
    `mix(seed, epoch)`, the noise of a step from `mix(seed, epoch, batch, rank)`.
    """
    state = 0
    for integer in integers:
        state = _splitmix64(state ^ (integer & _MASK))
    return state >> 1  # torch and numpy take seeds below 2**63


def _splitmix64(state: int) -> int:
    """Steele, Lea and Flood 2014: a bijection of 64 bits in which one changed bit changes half."""
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)
