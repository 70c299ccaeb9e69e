"""Asks for a name and an age, until that is a number."""
import sys

name = input("your name? ")
while True:
    age = input("your age? ")
    if age.isdigit():
        break
    print(f"{age!r} is no number", file=sys.stderr)
print(f"{name} will be {int(age) + 1}")
