using System.Collections.Frozen;

namespace NormFree.Archives.Pickle;

/// <summary>The names that a pickle may mention. Any other is an error: nothing is ever imported, but data that needs an unknown
/// class is not data that this library knows how to read.</summary>
public sealed class PickleGlobals
{
    private readonly FrozenSet<(string Module, string Name)> allowed;

    /// <summary>Allows exactly these names.</summary>
    /// <param name="names">Module and name of each.</param>
    public PickleGlobals(params IEnumerable<(string Module, string Name)> names) => allowed = names.ToFrozenSet();

    /// <summary>Plain data only: numbers, text, lists, dictionaries.</summary>
    public static PickleGlobals None { get; } = new();

    /// <summary>What arrays of NumPy 1 and 2 need, under Python 2 and 3, in every protocol. See <see cref="NumpyArray"/>.</summary>
    public static PickleGlobals Numpy { get; } = new(
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),
        ("__builtin__", "bytes"),
        ("builtins", "bytes"),
        ("__builtin__", "bytearray"),
        ("builtins", "bytearray"));

    /// <summary>What a PyTorch state dictionary needs: ordered dictionaries, tensors and their storages.</summary>
    public static PickleGlobals PyTorch { get; } = new(
        ("collections", "OrderedDict"),
        ("torch._utils", "_rebuild_tensor"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch", "Size"),
        ("torch", "FloatStorage"),
        ("torch", "DoubleStorage"),
        ("torch", "HalfStorage"),
        ("torch", "BFloat16Storage"),
        ("torch", "LongStorage"),
        ("torch", "IntStorage"),
        ("torch", "ShortStorage"),
        ("torch", "CharStorage"),
        ("torch", "ByteStorage"),
        ("torch", "BoolStorage"));

    /// <summary>Whether a name is allowed.</summary>
    /// <param name="module">The module.</param>
    /// <param name="name">The name in it.</param>
    public bool Allows(string module, string name) => allowed.Contains((module, name));

    /// <summary>These names and those of another list.</summary>
    /// <param name="other">The other list.</param>
    public PickleGlobals With(PickleGlobals other) => new(allowed.Concat(other.allowed));
}
