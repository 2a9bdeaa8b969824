"""The dashboard: one page that shows a coordinator's fleet, its rounds and its versions while they happen.

It reads what a coordinator keeps in its directory and never touches the coordinator itself, so it can be served by the
coordinator's process, by the demo's, or long after the run by `edgewise dashboard`.
"""
