"""A small lab of real QEMU guests, for tests and the demo: see docs/lab.md.

`lab.image` builds the guest, `lab.libvirtd` runs a private libvirtd, `lab.guests` defines and
asks guests in it. Nothing here imports guestwake or libvirt: it looks at both from outside.
"""
