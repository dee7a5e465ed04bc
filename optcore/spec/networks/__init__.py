"""Networks of layers: shapes, parameters, initial values and checks, without torch."""
