"""Ways to the host. Each has `open` streams of bytes; none knows what is said on them.

To add one: write the file with a `Transport`, add its line in `service.py`.
"""
