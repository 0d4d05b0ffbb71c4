"""How a controller gets to nodes on other machines: SSH connections, the bundle that is sent, the
far node as an object here.

asyncssh is at home here; its types and exceptions do not leave.
"""
