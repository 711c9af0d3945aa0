"""The Guest Update Service in a Windows guest.

Pure files know no Windows, and are tested anywhere; each call of Windows' own is in a file of its
own, behind a small protocol. docs/windows.md tells what was run where.
"""
