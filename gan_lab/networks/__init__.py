"""Generators and discriminators, one file per architecture."""
