using System.Diagnostics.CodeAnalysis;
using NormFree.Archives.Pickle;
using NormFree.Formats.Safetensors;

namespace NormFree.Archives.PyTorch;

/// <summary>Reads PyTorch's calls that rebuild tensors: <c>torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)</c> and variants.</summary>
/// <param name="storages">The storages of the file.</param>
/// <param name="maxBytes">The limit for one tensor.</param>
/// <param name="file">The name of the file in errors.</param>
internal sealed class TensorRebuild(IStorages storages, long maxBytes, string file)
{
    private const int DTypeArgument = 6;

    /// <summary>The limit for parameters in parameters, which a value that contains itself would exceed.</summary>
    private const int MaxWrappers = 8;

    /// <summary>Whether a value rebuilds a tensor.</summary>
    public static bool IsTensor(PickleValue value) =>
        value is PickleReduced { Callable.Module: "torch._utils" or "torch.nn.parameter" }
            or PickleReduced { Callable: { Module: "torch._tensor" or "torch.tensor", Name: "_rebuild_from_type" or "_rebuild_from_type_v2" } };

    /// <summary>Builds a tensor.</summary>
    /// <param name="name">The name of the tensor in errors.</param>
    /// <param name="value">The value for which <see cref="IsTensor"/> holds.</param>
    public StridedView Build(string name, PickleValue value)
    {
        string where = $"tensor {Quoted.Name(name)}";
        for (int i = 0; i < MaxWrappers && Wrapped(value) is { } inner; i++)
            value = inner;
        if (value is PickleReduced other && other.Callable.Name is not ("_rebuild_tensor" or "_rebuild_tensor_v2" or "_rebuild_tensor_v3"))
            InvalidFileException.Throw(
                file, where, $"it was saved by {other.Callable}, not as a dense tensor of numbers", "Save it as a dense tensor that is not quantised");
        if (value is not PickleReduced call
            || call.Arguments.Items is not [PicklePersistentId persistent, var offset, var sizes, var strides, ..]
            || Numbers(sizes) is not { } shape || Numbers(strides) is not { } steps || offset.AsInt64() is not { } first)
        {
            Fail(where, "it is not in PyTorch's format for tensors");
            return null;
        }
        if (StorageId.Parse(persistent) is not { } id)
        {
            Fail(where, "its storage is not in PyTorch's format for storages");
            return null;
        }
        if (id.Element.Supported is null)
            InvalidFileException.Throw(file, where, "its numbers are complex or quantised", "Save it as a tensor of real numbers");
        var storage = storages.Find(id, where);
        var (view, problem) = StridedView.Create(storage, Type(call, storage, where), (first, shape, steps), maxBytes);
        if (view is null)
            Fail(where, problem!);
        return view;
    }

    /// <summary>The tensor in a parameter, or in a tensor of a class of its own or with attributes; null for other values.</summary>
    /// <remarks>Before PyTorch 0.4, parameters called their class with the tensor, or with nothing and then set a state that starts with it.</remarks>
    private static PickleValue? Wrapped(PickleValue value) => value switch
    {
        PickleReduced { Callable.Name: "_rebuild_from_type" or "_rebuild_from_type_v2", Arguments.Items: [PickleGlobal call, _, PickleTuple arguments, ..] } =>
            new PickleReduced(call, arguments),
        PickleReduced { Callable.Name: "_rebuild_parameter" or "_rebuild_parameter_with_state" or "Parameter", Arguments.Items: [var inner, ..] } => inner,
        PickleReduced { Callable.Name: "Parameter", State: PickleTuple { Items: [var inner, _, _, _, _] } } => inner,
        _ => null,
    };

    /// <summary>The type of the elements: <c>_rebuild_tensor_v3</c> states it, others take it from the storage.</summary>
    private DType Type(PickleReduced call, Storage storage, string where)
    {
        if (call.Callable.Name != "_rebuild_tensor_v3")
            return storage.Type;
        if (call.Arguments.Items.Count > DTypeArgument
            && call.Arguments.Items[DTypeArgument] is PickleGlobal { Module: "torch" } dtype && StorageTypes.OfDType(dtype) is { } type)
            return type;
        Fail(where, "its type is unknown");
        return default;
    }

    /// <summary>The numbers of a tuple or a <c>torch.Size</c>.</summary>
    private static long[]? Numbers(PickleValue value)
    {
        if (value is PickleReduced size && size.Callable.Name == "Size" && size.Arguments.Items.Count == 1)
            value = size.Arguments.Items[0];
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
    private void Fail(string where, string what) => InvalidFileException.Throw(file, where, what, Remedy.DownloadAgain);
}
