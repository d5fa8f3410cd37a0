"""Arithmetic on packs: what each cell holds, which bytes live, which packs are worth cleaning."""
