"""stub"""

HELP = "x"


def write(r):
    pass
