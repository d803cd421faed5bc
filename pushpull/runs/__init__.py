"""One attack on one clip, from what was asked for to the files it leaves."""
