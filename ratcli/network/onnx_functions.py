"""Region attention as functions of ONNX, which `onnxscript` reads from this source.

Only operators of ONNX are used. Their sizes follow from the input, so that planes of any size and
regions of any number and shape go through the same graph.
"""

from onnxscript import opset18 as op
from onnxscript import script
from onnxscript.values import Opset

DOMAIN = Opset("ratcli", 1)


@script(DOMAIN)
def split_large(labels, cells, most):
    """Number regions anew, those of more than `most` tokens split along a grid.

    Args:
        labels: int64 `(N,)`, region of each token.
        cells: int64 `(N,)`, cell of the grid in which each token is, from 1.
        most: int64 `(1,)`.

    Returns:
        int64 `(N,)`.
    """
    _, _, regions, counts = op.Unique(labels, sorted=1)
    is_large = op.Greater(op.Gather(counts, regions), most)
    cell = op.Where(is_large, cells, cells - cells)
    return regions * (op.ReduceMax(cells) + 1) + cell


@script(DOMAIN)
def attention_in_pieces(qkv, keys):
    """Attend inside each region: 512 queries at once to all tokens of their regions.

    Args:
        qkv: float32 `(N, 3, heads, d)`, sorted by region.
        keys: int64 `(N,)`, the region of each token, in order.

    Returns:
        float32 `(N, heads*d)`.
    """
    q, k, v = op.Split(op.Transpose(qkv, perm=[1, 2, 0, 3]), axis=0, num_outputs=3)
    heads = op.Cast(op.Shape(qkv, start=2, end=3), to=1)
    q = op.Squeeze(q, [0]) / op.Sqrt(heads)  # (heads,N,d)
    k = op.Transpose(op.Squeeze(k, [0]), perm=[0, 2, 1])
    v = op.Squeeze(v, [0])
    one = op.Constant(value_ints=[1])
    two = op.Constant(value_ints=[2])
    piece = op.Constant(value_ints=[512])
    total = op.Shape(keys, start=0, end=1)
    parts = op.SequenceEmpty(dtype=1)
    for number in range(op.Squeeze((total + piece - one) / piece)):
        start = op.Reshape(number, one) * piece
        end = op.Min(start + piece, total)
        mine = op.Slice(keys, start, end)
        # Tokens of all regions of these queries lie side by side.
        before = op.Cast(op.Less(keys, op.Slice(keys, start, start + one)), to=7)
        until = op.Cast(op.LessOrEqual(keys, op.Slice(keys, end - one, end)), to=7)
        first = op.ReduceSum(before, keepdims=1)
        last = op.ReduceSum(until, keepdims=1)
        theirs = op.Slice(keys, first, last)
        logits = op.MatMul(op.Slice(q, start, end, one), op.Slice(k, first, last, two))
        same = op.Equal(op.Unsqueeze(mine, [1]), op.Unsqueeze(theirs, [0]))
        weights = op.Softmax(op.Where(same, logits, op.Constant(value_float=-1e30)), axis=-1)
        parts = op.SequenceInsert(parts, op.MatMul(weights, op.Slice(v, first, last, one)))
    out = op.Transpose(op.ConcatFromSequence(parts, axis=1), perm=[1, 0, 2])
    return op.Reshape(out, op.Constant(value_ints=[0, -1]))
