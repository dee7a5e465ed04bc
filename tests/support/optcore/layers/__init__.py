"""
Random specs of every kind of layer, each beside a module that is written by hand.

`tests.optcore.networks.test_every_layer` compares the two. A new kind of layer needs a function
here, in the file of its family, under `@case("its_kind")`.
"""
