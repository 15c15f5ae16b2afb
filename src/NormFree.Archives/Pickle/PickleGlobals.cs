using System.Collections.Frozen;

namespace NormFree.Archives.Pickle;

/// <summary>The names that a pickle may reference. Any other name is an error, although nothing is ever imported.</summary>
public sealed class PickleGlobals
{
    private readonly FrozenSet<(string Module, string Name)> allowed;

    /// <summary>Allows these names only.</summary>
    /// <param name="names">Pairs of module and name.</param>
    public PickleGlobals(params IEnumerable<(string Module, string Name)> names) => allowed = names.ToFrozenSet();

    private PickleGlobals(bool allowsAll)
    {
        AllowsAll = allowsAll;
        allowed = [];
    }

    /// <summary>Allows every name, and every opcode that builds objects, for files that keep other objects beside their data.</summary>
    /// <remarks>
    /// Nothing is imported or called: objects stay descriptions. A value may contain itself and be nested to any depth, so that code must not walk it
    /// recursively without a limit of its own.
    /// </remarks>
    public static PickleGlobals Any { get; } = new(allowsAll: true);

    /// <summary>Allows no name: numbers, strings, lists, tuples and dictionaries only.</summary>
    public static PickleGlobals None { get; } = new();

    /// <summary>The names in arrays and scalars of NumPy 1 and 2, written by Python 2 or 3 in any protocol; see <see cref="NumpyArray"/>.</summary>
    public static PickleGlobals Numpy { get; } = new(
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),
        ("__builtin__", "bytes"),
        ("builtins", "bytes"),
        ("__builtin__", "bytearray"),
        ("builtins", "bytearray"));

    /// <summary>The names in PyTorch state dictionaries: ordered dictionaries, tensors and storages.</summary>
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

    /// <summary>Whether every name is allowed; see <see cref="Any"/>.</summary>
    public bool AllowsAll { get; }

    /// <summary>Whether a name is allowed.</summary>
    /// <param name="module">The module.</param>
    /// <param name="name">The name in the module.</param>
    public bool Allows(string module, string name) => AllowsAll || allowed.Contains((module, name));

    /// <summary>The union of two allow-lists.</summary>
    /// <param name="other">The other list.</param>
    public PickleGlobals With(PickleGlobals other) =>
        AllowsAll || other.AllowsAll ? Any : new PickleGlobals(allowed.Concat(other.allowed));
}
