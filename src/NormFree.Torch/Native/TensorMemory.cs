using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace NormFree.Torch.Native;

/// <summary>Direct access to the memory of tensors.</summary>
/// <remarks>
/// An address is valid as long as its tensor lives: the caller must call <see cref="GC.KeepAlive"/> on the tensor after its last use. Addresses include
/// the storage offset. The caller is responsible for strides.
/// </remarks>
internal static unsafe class TensorMemory
{
    /// <summary>Whether a tensor is a contiguous float32 tensor on the CPU.</summary>
    public static bool IsContiguousFloats(Tensor tensor) => IsFloatsOnCpu(tensor) && tensor.is_contiguous();

    /// <summary>Whether a tensor is a float32 tensor on the CPU.</summary>
    public static bool IsFloatsOnCpu(Tensor tensor) => tensor.dtype == ScalarType.Float32 && tensor.device_type == DeviceType.CPU;

    /// <summary>The address of a float32 tensor.</summary>
    /// <exception cref="ArgumentException">The tensor is not on the CPU, or has another type.</exception>
    public static float* Floats(Tensor tensor) => (float*)Data(tensor, ScalarType.Float32);

    /// <summary>The address of a tensor of the given type.</summary>
    /// <inheritdoc cref="Floats"/>
    public static void* Data(Tensor tensor, ScalarType type)
    {
        if (tensor.device_type != DeviceType.CPU)
            throw new ArgumentException($"The kernel needs a tensor on the CPU; this one is on {tensor.device_type}.", nameof(tensor));
        if (tensor.dtype != type)
            throw new ArgumentException($"The kernel needs a tensor of {type}; this one holds {tensor.dtype}.", nameof(tensor));
        var data = THSTensor_data(tensor.Handle);
        GC.KeepAlive(tensor);
        return (void*)data;
    }

    /// <summary>A copy of the values of any tensor. Intermediate tensors belong to the caller's dispose scope.</summary>
    public static double[] Doubles(Tensor tensor) => tensor.to(ScalarType.Float64).cpu().reshape(-1).data<double>().ToArray();

    /// <summary>The native shim's own accessor: three times as fast as TorchSharp's, and valid for any strides.</summary>
    [DllImport("LibTorchSharp")]
    private static extern IntPtr THSTensor_data(IntPtr handle);
}
