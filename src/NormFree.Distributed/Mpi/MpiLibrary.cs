using System.Runtime.InteropServices;
using System.Text;

namespace NormFree.Distributed.Mpi;

/// <summary>Open MPI's shared library, loaded on demand.</summary>
/// <remarks>
/// The MPI standard defines no binary interface: communicators and types are addresses of exported objects in Open MPI, and small integers in other
/// implementations. So only a library that exports Open MPI's objects is called, except for MPI_Get_library_version, whose signature is the same in all.
/// </remarks>
internal sealed unsafe class MpiLibrary
{
    /// <summary>The environment variable that overrides the library's path.</summary>
    public const string PathVariable = "NORMFREE_LIBMPI";

    private const int MaxVersionLength = 8192;
    private static readonly string[] DefaultNames = OperatingSystem.IsMacOS() ? ["libmpi.40.dylib", "libmpi.dylib"] : ["libmpi.so.40", "libmpi.so"];
    private readonly nint handle;

    private MpiLibrary(nint handle) => this.handle = handle;

    /// <summary>Loads the library named by <see cref="PathVariable"/>, or the system's.</summary>
    /// <exception cref="DistributedException">The library is missing or belongs to another MPI, or this is Windows, for which there is no Open MPI.</exception>
    public static MpiLibrary Load()
    {
        if (OperatingSystem.IsWindows())
            throw new DistributedException(
                "A launcher started several processes, but Open MPI does not exist for Windows. Run one process, or use Linux or macOS.");
        string[] names = Environment.GetEnvironmentVariable(PathVariable) is { Length: > 0 } path ? [path] : DefaultNames;
        foreach (var name in names)
            if (NativeLibrary.TryLoad(name, out var handle)) return new MpiLibrary(handle).RequireOpenMpi(name);
        throw new DistributedException(
            $"A launcher started several processes, but Open MPI's library was not found ({string.Join(", ", names)}). Install it on every node "
            + $"(Debian: apt-get install openmpi-bin), or set {PathVariable} to its path.");
    }

    /// <summary>The address of an exported function or object.</summary>
    /// <exception cref="DistributedException">The library does not export it.</exception>
    public nint this[string name] =>
        NativeLibrary.TryGetExport(handle, name, out var address)
            ? address
            : throw new DistributedException($"Open MPI's library does not export {name}: NormFree needs Open MPI 3 or newer.");

    private MpiLibrary RequireOpenMpi(string name)
    {
        if (NativeLibrary.TryGetExport(handle, "ompi_mpi_comm_world", out _)) return this;
        var what = Version() is { } version ? $"is {version}, whose functions take different arguments" : "is not an MPI library";
        throw new DistributedException(
            $"{name} {what}: NormFree needs Open MPI. Start the job with Open MPI's mpirun, and put its library on the library path or in {PathVariable}.");
    }

    /// <summary>The library's own version string, or null if it is not MPI. MPI allows this call before MPI_Init.</summary>
    private string? Version()
    {
        if (!NativeLibrary.TryGetExport(handle, "MPI_Get_library_version", out var address)) return null;
        byte* text = stackalloc byte[MaxVersionLength];
        int length;
        _ = ((delegate* unmanaged<byte*, int*, int>)address)(text, &length);
        var all = Encoding.UTF8.GetString(text, Math.Clamp(length, 0, MaxVersionLength));
        return string.Join(' ', all.Split('\n')[0].TrimEnd('\0').Split([' ', '\t', ':'], StringSplitOptions.RemoveEmptyEntries));
    }
}
