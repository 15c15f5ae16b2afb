using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using NormFree.Kernels.Simd;
using NormFree.Platform;

namespace NormFree.Torch.Native;

/// <summary>
/// Loads libtorch's native libraries for TorchSharp. NormFree's functions do this by themselves. A program that calls TorchSharp before anything of
/// NormFree calls <see cref="Ensure"/> first: if TorchSharp's own loader fails, the process cannot recover.
/// </summary>
/// <remarks>
/// TorchSharp's native shim (<c>libLibTorchSharp.so</c> 0.107.0) requires <c>GLIBCXX_3.4.32</c>, a symbol version that Debian 12's libstdc++ lacks, for
/// a symbol that it never calls. If the shim loads unmodified, nothing is changed. Otherwise <see cref="PatchedShim"/> makes a copy that loads.
/// On Windows and macOS, TorchSharp's own loader works; only its error is replaced by one that names the missing package.
/// </remarks>
public static class TorchNative
{
    private const string Shim = "LibTorchSharp";
    private const string LibtorchCpu = "libtorch_cpu.so";

    /// <summary>The shim's dependencies on Linux, in load order. Once loaded by absolute path, the linker resolves them by name wherever the shim lies.</summary>
    private static readonly string[] Libtorch = ["libc10.so", LibtorchCpu, "libtorch.so"];

    private static readonly Lock Gate = new();
    private static IntPtr shimHandle;

    /// <summary>Path of the loaded shim: the packaged file or the copy in the user's cache folder. Null before <see cref="Ensure"/>, and on other systems than Linux.</summary>
    public static string? LoadedFrom { get; private set; }

    /// <summary>Whether libtorch may be loaded. False only on Linux, before <see cref="Ensure"/>.</summary>
    public static bool MayBeLoaded => !OperatingSystem.IsLinux() || LoadedFrom is not null;

    /// <summary>Whether libtorch's convolutions use oneDNN. <see cref="Ensure"/> disables it where it would compute wrong results, on Linux with x86 processors
    /// that do not report the sizes of their caches. Convolutions then take two to three times as long.</summary>
    public static bool OneDnnIsReliable { get; } = !OperatingSystem.IsLinux() || MachineFacts.ReportsCaches();

    /// <summary>Whether libtorch's convolutions are faster in bfloat16 than in float32: oneDNN computes them with instructions for it.</summary>
    public static bool HasFastBFloat16 => OneDnnIsReliable && InstructionSets.HasBFloat16;

    /// <summary>Loads libtorch and TorchSharp's shim. Idempotent and thread-safe; does nothing on systems other than Linux.</summary>
    /// <param name="libtorchFolder">Folder that contains <c>libtorch_cpu.so</c>; null searches next to the program and in the package cache.</param>
    /// <exception cref="DllNotFoundException">A library was not found; the message lists the folders searched and the remedy.</exception>
    public static void Ensure(string? libtorchFolder = null)
    {
        if (!OperatingSystem.IsLinux()) return;
        lock (Gate)
        {
            if (shimHandle != IntPtr.Zero) return;
            if (!NativeFolders.IsSupported) throw NativeFolders.Missing($"lib{Shim}.so", []);
            var folders = NativeFolders.Find(libtorchFolder);
            foreach (var library in Libtorch) NativeLibrary.Load(NativeFolders.Locate(library, folders));
            Configure(NativeLibrary.Load(NativeFolders.Locate(LibtorchCpu, folders)));
            LoadShim(NativeFolders.Locate($"lib{Shim}.so", folders));
        }
    }

    /// <summary>Limits libtorch, oneDNN and MKL to an instruction set, for comparisons. Call it before <see cref="Ensure"/>; Linux only.</summary>
    /// <remarks>They read their limits from the process environment when they are loaded: ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA and
    /// MKL_ENABLE_INSTRUCTIONS. Variables that the user has set stay.</remarks>
    /// <exception cref="InvalidOperationException">libtorch is loaded already.</exception>
    public static void Limit(InstructionSet set)
    {
        if (!OperatingSystem.IsLinux()) return;
        if (LoadedFrom is not null) throw new InvalidOperationException("libtorch is loaded already: limit its instruction set before.");
        foreach (var (name, value) in Limits(set)) ProcessControl.SetVariable(name, value);
    }

    /// <summary>The environment variables that limit libtorch, oneDNN and MKL to an instruction set, for PyTorch too.</summary>
    public static IReadOnlyDictionary<string, string> Limits(InstructionSet set)
    {
        var (aten, oneDnn, mkl) = set switch
        {
            InstructionSet.Avx512 => ("avx512", "ALL", "AVX512"),
            InstructionSet.Avx2 => ("avx2", "AVX2", "AVX2"),
            _ => ("default", "SSE41", "SSE4_2"),
        };
        return new Dictionary<string, string>
        {
            ["ATEN_CPU_CAPABILITY"] = aten,
            ["ONEDNN_MAX_CPU_ISA"] = oneDnn,
            ["MKL_ENABLE_INSTRUCTIONS"] = mkl,
        };
    }

    /// <summary>Runs before any other code of this assembly. It loads nothing: <see cref="Limit"/> must still be able to act.</summary>
#pragma warning disable CA2255 // A library's initialiser: without it, TorchSharp's loader would run alone.
    [ModuleInitializer]
    internal static void Register()
#pragma warning restore CA2255
    {
        // Idle libgomp threads sleep instead of spinning. By default they spin for about a millisecond. If anything else runs on the machine, a spinning
        // thread occupies the processor that the thread it waits for needs, and training is an order of magnitude slower. Sleeping at once costs about
        // 40 µs per operation. libgomp reads the variable when it is loaded.
        ProcessControl.SetVariable("OMP_WAIT_POLICY", "passive");
        var torchSharp = Assembly.Load("TorchSharp"); // runs no static constructor of TorchSharp
        foreach (var assembly in new[] { torchSharp, typeof(TorchNative).Assembly })
            if (AssemblyLoadContext.GetLoadContext(assembly) is { } context)
            {
                context.ResolvingUnmanagedDll -= Resolve;
                context.ResolvingUnmanagedDll += Resolve;
            }
    }

    /// <summary>Called if the runtime cannot load a native library by itself.</summary>
    private static IntPtr Resolve(Assembly assembly, string name)
    {
        if (name != Shim) return IntPtr.Zero;
        Ensure();
        return OperatingSystem.IsLinux() ? shimHandle : throw NativeFolders.Missing(name, NativeFolders.Find(null));
    }

    /// <remarks>
    /// oneDNN 3.7.1, which libtorch 2.10 contains, needs the sizes of the caches. Where a processor does not report them, as AMD's in some virtual machines, it
    /// does not clear the channels by which it rounds the channels of planar maps up (<c>prb_block_for_cache</c> of its <c>jit_uni_reorder</c>), so that
    /// convolutions of 24 channels contain whatever was in that memory; and 1×1 convolutions on several threads end the process with SIGFPE.
    /// </remarks>
    private static void Configure(IntPtr libtorchCpu)
    {
        TorchContext.DisableNnpack(libtorchCpu);
        if (!OneDnnIsReliable) TorchContext.DisableOneDnn(libtorchCpu);
    }

    private static void LoadShim(string packaged)
    {
        var loaded = packaged;
        if (!NativeLibrary.TryLoad(packaged, out var handle))
            handle = NativeLibrary.Load(loaded = PatchedShim.Copy(packaged));
        (shimHandle, LoadedFrom) = (handle, loaded);
    }
}
