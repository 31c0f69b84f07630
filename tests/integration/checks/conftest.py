from tests.support.world import people, world

__all__ = ["people", "world"]
