using System.Runtime.InteropServices;

namespace NormFree.Torch.Native;

/// <summary>Switches of libtorch's global context (<c>at::globalContext()</c>) that TorchSharp does not offer. They exist on Linux only.</summary>
internal static unsafe class TorchContext
{
    private static IntPtr library;

    /// <summary>Disables NNPACK. libtorch asks it before convolutions of few images on one thread, and then does not use it. On processors that NNPACK
    /// does not know, such as AMD's in some virtual machines, each question prints "Could not initialize NNPACK!".</summary>
    /// <param name="libtorchCpu">Handle of <c>libtorch_cpu.so</c>.</param>
    public static void Initialise(IntPtr libtorchCpu)
    {
        library = libtorchCpu;
        Set("_ZN2at7Context20setUserEnabledNNPACKEb", false);
    }

    /// <summary>Disables oneDNN: convolutions use libtorch's own, slower implementation. Returns false if that is not possible.</summary>
    public static bool DisableOneDnn() => Set("_ZN2at7Context20setUserEnabledMkldnnEb", false);

    /// <summary>Calls a setter, a method of <c>at::Context</c>.</summary>
    private static bool Set(string setter, bool value)
    {
        if (library == IntPtr.Zero) return false;
        if (!NativeLibrary.TryGetExport(library, "_ZN2at13globalContextEv", out var globalContext)) return false;
        if (!NativeLibrary.TryGetExport(library, setter, out var set)) return false;
        var context = ((delegate* unmanaged<IntPtr>)globalContext)();
        ((delegate* unmanaged<IntPtr, byte, void>)set)(context, value ? (byte)1 : (byte)0);
        return true;
    }
}
