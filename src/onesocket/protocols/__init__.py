"""What the frames mean: sans-IO wire protocols behind one port."""
