"""Signatures as MLflow writes them, for property tests."""

from hypothesis import strategies as st

from lifecycle.domain.signatures import SCALARS

names = st.text(min_size=1, max_size=8)
scalars = st.sampled_from(sorted(SCALARS)).map(lambda name: {"type": name})


def _nested(inner):
    properties = st.dictionaries(names, st.tuples(inner, st.booleans()), min_size=1, max_size=3)
    return st.one_of(
        inner.map(lambda items: {"type": "array", "items": items}),
        inner.map(lambda values: {"type": "map", "values": values}),
        properties.map(
            lambda given: {
                "type": "object",
                "properties": {name: {**kind, "required": required} for name, (kind, required) in given.items()},
            }
        ),
    )


types = st.recursive(scalars, _nested, max_leaves=4)


@st.composite
def named_columns(draw):
    wanted = draw(st.lists(names, unique=True, min_size=1, max_size=4))
    return [{**draw(types), "name": name, "required": draw(st.booleans())} for name in wanted]


unnamed_columns = st.lists(types, min_size=1, max_size=4)
tensors = st.builds(
    lambda dtype, shape: [{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}],
    st.sampled_from(["float32", "float64", "int64", "object"]),
    st.lists(st.integers(-1, 9), min_size=1, max_size=3),
)
columns = st.one_of(named_columns(), unnamed_columns, tensors)


@st.composite
def params(draw):
    wanted = draw(st.lists(names, unique=True, max_size=2))
    return [
        {"name": name, "type": "double", "default": draw(st.floats(allow_nan=False)), "shape": None} for name in wanted
    ]


signatures = st.fixed_dictionaries({"inputs": columns, "outputs": columns, "params": params()})
