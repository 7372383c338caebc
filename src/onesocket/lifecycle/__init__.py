"""The lifecycle of one connection, without input or output: states, inputs, effects, the table and the machine."""
