from shapes.area import rectangle


def test_rectangle():
    assert rectangle(3, 4) == 12
