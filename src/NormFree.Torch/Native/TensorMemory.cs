using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace NormFree.Torch.Native;

/// <summary>Addresses of tensors' values, for our kernels.</summary>
/// <remarks>
/// An address holds as long as its tensor: whoever uses it calls <see cref="GC.KeepAlive"/> on the tensor afterwards, lest a collection free it
/// under way. The storage's offset is included; whether the values lie side by side, and in which order, is the caller's affair.
/// </remarks>
internal static unsafe class TensorMemory
{
    /// <summary>Whether <see cref="Floats"/> takes a tensor, and finds its values side by side in the order of its axes.</summary>
    public static bool IsPlain(Tensor tensor) => IsFloatsOnCpu(tensor) && tensor.is_contiguous();

    /// <summary>Whether <see cref="Floats"/> takes a tensor.</summary>
    public static bool IsFloatsOnCpu(Tensor tensor) => tensor.dtype == ScalarType.Float32 && tensor.device_type == DeviceType.CPU;

    /// <summary>The first value of a tensor of floats.</summary>
    /// <exception cref="ArgumentException">The tensor is not on the CPU, or of another type.</exception>
    public static float* Floats(Tensor tensor) => (float*)Data(tensor, ScalarType.Float32);

    /// <summary>The first value of a tensor of a given type.</summary>
    /// <inheritdoc cref="Floats"/>
    public static void* Data(Tensor tensor, ScalarType type)
    {
        if (tensor.device_type != DeviceType.CPU)
            throw new ArgumentException($"The kernels work in the processor's memory; the tensor is on {tensor.device_type}.", nameof(tensor));
        if (tensor.dtype != type)
            throw new ArgumentException($"The kernel works on {type}; the tensor holds {tensor.dtype}.", nameof(tensor));
        var data = THSTensor_data(tensor.Handle);
        GC.KeepAlive(tensor);
        return (void*)data;
    }

    /// <summary>The shim's own accessor: a third of the time of TorchSharp's, and for any strides.</summary>
    [DllImport("LibTorchSharp")]
    private static extern IntPtr THSTensor_data(IntPtr handle);
}
