"""What ``python -m pushpull.train`` is made of: options, loss, adversarial data, processes, log and figures."""
