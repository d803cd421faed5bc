"""Talking heads: labelled clips of people who do not exist, with voices that belong to nobody."""
