"""Secure aggregation: the coordinator learns the sum of the devices' updates and no single one.

Bonawitz et al. 2017 with the neighbour graph of Bell et al. 2020. Each module holds the device's half and the
coordinator's half of one mechanism; `docs/privacy.md` says who is trusted with what, `docs/protocol.md` the bytes.
"""
