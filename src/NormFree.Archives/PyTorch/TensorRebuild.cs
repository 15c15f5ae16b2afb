using System.Diagnostics.CodeAnalysis;
using NormFree.Archives.Pickle;
using NormFree.Formats.Safetensors;

namespace NormFree.Archives.PyTorch;

/// <summary>Reads PyTorch's recipes for tensors: <c>torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)</c> and its relatives.</summary>
/// <param name="storages">The file's storages.</param>
/// <param name="maxBytes">The most that one tensor may take.</param>
/// <param name="file">The name that errors give to the file.</param>
internal sealed class TensorRebuild(IStorages storages, long maxBytes, string file)
{
    private const int DTypeArgument = 6;

    /// <summary>Whether a value is a tensor's recipe.</summary>
    public static bool IsTensor(PickleValue value) => value is PickleReduced { Callable.Module: "torch._utils" or "torch.nn.parameter" };

    /// <summary>The tensor of a recipe.</summary>
    /// <param name="name">The tensor's name, for errors.</param>
    /// <param name="value">The recipe.</param>
    public StridedView Build(string name, PickleValue value)
    {
        string where = $"tensor {Quoted.Name(name)}";
        while (InParameter(value) is { } inner)
            value = inner;
        if (value is not PickleReduced { Callable.Name: "_rebuild_tensor" or "_rebuild_tensor_v2" or "_rebuild_tensor_v3" } recipe
            || recipe.Arguments.Items is not [PicklePersistentId persistent, var offset, var sizes, var strides, ..]
            || Numbers(sizes) is not { } shape || Numbers(strides) is not { } steps || offset.AsInt64() is not { } first)
        {
            Fail(where, "it is not described as PyTorch describes tensors");
            return null;
        }
        if (StorageId.Parse(persistent) is not { } id)
        {
            Fail(where, "its storage is not described as PyTorch describes storages of numbers");
            return null;
        }
        var storage = storages.Find(id, where);
        var (view, problem) = StridedView.Create(storage, Type(recipe, storage, where), (first, shape, steps), maxBytes);
        if (view is null)
            Fail(where, problem!);
        return view;
    }

    /// <summary>A parameter is its tensor with notes about training. Before PyTorch 0.4 it was the class itself, made of its tensor or, earlier
    /// yet, of nothing and then given a state that begins with it. Null for what is no parameter.</summary>
    private static PickleValue? InParameter(PickleValue value) => value switch
    {
        PickleReduced { Callable.Name: "_rebuild_parameter" or "_rebuild_parameter_with_state" or "Parameter", Arguments.Items: [var inner, ..] } => inner,
        PickleReduced { Callable.Name: "Parameter", State: PickleTuple { Items: [var inner, _, _, _, _] } } => inner,
        _ => null,
    };

    /// <summary>A tensor of the newer recipe has a type of its own over a storage of bytes.</summary>
    private DType Type(PickleReduced recipe, Storage storage, string where)
    {
        if (recipe.Callable.Name != "_rebuild_tensor_v3")
            return storage.Type;
        if (recipe.Arguments.Items.Count > DTypeArgument
            && recipe.Arguments.Items[DTypeArgument] is PickleGlobal { Module: "torch" } dtype && StorageType.OfDType(dtype) is { } type)
            return type;
        Fail(where, "its type is not known");
        return default;
    }

    /// <summary>The numbers of a tuple, or of the <c>torch.Size</c> around one.</summary>
    private static long[]? Numbers(PickleValue value)
    {
        if (value is PickleReduced { Callable.Name: "Size", Arguments.Items: [var inner] })
            value = inner;
        if (value is not PickleTuple { Items: var items })
            return null;
        long[] numbers = new long[items.Count];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (items[i].AsInt64() is not { } number)
                return null;
            numbers[i] = number;
        }
        return numbers;
    }

    [DoesNotReturn]
    private void Fail(string where, string what) => InvalidFileException.Throw(file, where, what, WayOut.FetchAgain);
}
