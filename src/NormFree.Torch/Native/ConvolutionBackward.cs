using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace NormFree.Torch.Native;

/// <summary>libtorch's convolution gradient, which TorchSharp exposes only through autograd.</summary>
internal static unsafe class ConvolutionBackward
{
    /// <summary>Computes the gradient of a convolution's input.</summary>
    /// <param name="outputGradient">N×O×H'×W'.</param>
    /// <param name="inputSize">N, C, H, W.</param>
    /// <param name="weight">O×C×k×k, of the same type as the gradient.</param>
    /// <param name="stride">Stride in both directions.</param>
    /// <param name="padding">Padding in both directions.</param>
    /// <returns>N×C×H×W.</returns>
    /// <exception cref="InvalidOperationException">libtorch failed; it prints the reason to standard error.</exception>
    public static Tensor OfInput(Tensor outputGradient, ReadOnlySpan<long> inputSize, Tensor weight, long stride, long padding)
    {
        // libtorch reads only the shape and the layout of the input, not its values.
        using var input = Fused.ChannelsLast.Empty(inputSize[0], inputSize[1], inputSize[2], inputSize[3], outputGradient.dtype);
        long[] strides = [stride, stride], paddings = [padding, padding], dilations = [1, 1], none = [0, 0];
        int[] wanted = [1, 0, 0];
        IntPtr ofInput, ofWeight, ofBias;
        fixed (long* s = strides, p = paddings, d = dilations, z = none)
        fixed (int* mask = wanted)
        {
            var status = Call(
                outputGradient.Handle, input.Handle, weight.Handle, null, 0, s, 2, p, 2, d, 2, 0, z, 2, 1, mask, 3, &ofInput, &ofWeight, &ofBias);
            if (status != 0) throw new InvalidOperationException($"libtorch's convolution gradient failed with status {status}.");
        }
        GC.KeepAlive(outputGradient);
        GC.KeepAlive(weight);
        Delete(ofWeight);
        Delete(ofBias);
        return Tensor.UnsafeCreateTensor(ofInput);
    }

    private static void Delete(IntPtr handle)
    {
        if (handle != IntPtr.Zero) _ = DeleteTensor(handle);
    }

    [DllImport("torch_cpu", EntryPoint = "aoti_torch_delete_tensor_object")]
    private static extern int DeleteTensor(IntPtr handle);

    [DllImport("torch_cpu", EntryPoint = "aoti_torch_cpu_convolution_backward")]
    private static extern int Call(
        IntPtr outputGradient, IntPtr input, IntPtr weight, long** biasSizes, long biasCount, long* stride, long strides,
        long* padding, long paddings, long* dilation, long dilations, int transposed, long* outputPadding, long outputPaddings,
        long groups, int* mask, long masks, IntPtr* ofInput, IntPtr* ofWeight, IntPtr* ofBias);
}
