from gan_lab.data.seeds import mix


def test_mix_is_fixed_for_ever():
    # Runs are repeated and resumed by these numbers: a change here breaks every old run.
    assert mix(0) == 0xE220A8397B1DCDAF >> 1  # the first number of the published splitmix64
    assert mix(1, 2, 3) == 7510213797696614745


def test_mix_tells_arguments_apart():
    seeds = [mix(), mix(0), mix(0, 0), mix(0, 1), mix(1, 0), mix(1), mix(-1), mix(2**64 - 2)]
    assert len(set(seeds)) == len(seeds)


def test_mix_fits_every_generator():
    seeds = {mix(seed, epoch) for seed in range(100) for epoch in range(100)}
    assert len(seeds) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_neighbours_share_half_of_their_bits():
    differing = [(mix(n) ^ mix(n + 1)).bit_count() for n in range(1000)]
    assert abs(sum(differing) / len(differing) - 31.5) < 0.5
