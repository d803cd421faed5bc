"""The XAB listening-and-watching test: can a person tell an adversarial clip from its genuine twin?"""
