using System.Runtime.InteropServices;

namespace NormFree.Torch.Native;

/// <summary>Switches of libtorch's global context (<c>at::globalContext()</c>) that TorchSharp does not offer. They exist on Linux only.</summary>
internal static unsafe class TorchContext
{
    /// <summary>Disables NNPACK. libtorch asks it before convolutions of few images on one thread, and then does not use it. On processors that NNPACK
    /// does not know, such as AMD's in some virtual machines, each question prints "Could not initialize NNPACK!".</summary>
    /// <param name="libtorchCpu">Handle of <c>libtorch_cpu.so</c>.</param>
    public static void DisableNnpack(IntPtr libtorchCpu) => Disable(libtorchCpu, "_ZN2at7Context20setUserEnabledNNPACKEb");

    /// <summary>Disables oneDNN: convolutions use libtorch's own, slower implementation.</summary>
    /// <param name="libtorchCpu">Handle of <c>libtorch_cpu.so</c>.</param>
    public static void DisableOneDnn(IntPtr libtorchCpu) => Disable(libtorchCpu, "_ZN2at7Context20setUserEnabledMkldnnEb");

    /// <summary>Calls a setter, a method of <c>at::Context</c>, with false.</summary>
    private static void Disable(IntPtr libtorchCpu, string setter)
    {
        var globalContext = (delegate* unmanaged<IntPtr>)NativeLibrary.GetExport(libtorchCpu, "_ZN2at13globalContextEv");
        ((delegate* unmanaged<IntPtr, byte, void>)NativeLibrary.GetExport(libtorchCpu, setter))(globalContext(), 0);
    }
}
