using System.Runtime.InteropServices;
using System.Text;

namespace NormFree.Distributed.Mpi;

/// <summary>Open MPI's library, found when it is needed.</summary>
/// <remarks>
/// MPI's standard leaves it open what a communicator or a type is in memory: in Open MPI they are addresses of objects that the library exports, in
/// others small numbers. So only a library that exports Open MPI's objects is called, but for the one function whose arguments are the same everywhere.
/// </remarks>
internal sealed unsafe class MpiLibrary
{
    /// <summary>The variable that names the library where the system does not find it, or finds another.</summary>
    public const string PathVariable = "NORMFREE_LIBMPI";

    private const int LongestVersion = 8192;
    private static readonly string[] UsualNames = ["libmpi.so.40", "libmpi.so"];
    private readonly nint handle;

    private MpiLibrary(nint handle) => this.handle = handle;

    /// <summary>Loads the library that the variable names, or else the system's.</summary>
    /// <exception cref="DistributedException">There is none, or it is another MPI's.</exception>
    public static MpiLibrary Load()
    {
        string[] names = Environment.GetEnvironmentVariable(PathVariable) is { Length: > 0 } path ? [path] : UsualNames;
        foreach (var name in names)
            if (NativeLibrary.TryLoad(name, out var handle)) return new MpiLibrary(handle).Required(name);
        throw new DistributedException(
            $"This process is one of several, but Open MPI's library is not found ({string.Join(", ", names)}). Install it (Debian: "
            + $"apt-get install openmpi-bin) on every node, or name it by {PathVariable}.");
    }

    /// <summary>The address of a function or an object.</summary>
    /// <exception cref="DistributedException">The library has no such thing.</exception>
    public nint this[string name] =>
        NativeLibrary.TryGetExport(handle, name, out var address)
            ? address
            : throw new DistributedException($"Open MPI's library has no {name}: NormFree needs Open MPI 3 or newer.");

    private MpiLibrary Required(string name)
    {
        if (NativeLibrary.TryGetExport(handle, "ompi_mpi_comm_world", out _)) return this;
        var what = Version() is { } version ? $"is {version}, whose functions take other arguments" : "is no MPI";
        throw new DistributedException(
            $"{name} {what}: NormFree works with Open MPI. Start it by Open MPI's mpirun, with its library in the path or named by {PathVariable}.");
    }

    /// <summary>What the library says that it is; the call may come before MPI_Init.</summary>
    private string? Version()
    {
        if (!NativeLibrary.TryGetExport(handle, "MPI_Get_library_version", out var address)) return null;
        byte* text = stackalloc byte[LongestVersion];
        int length;
        _ = ((delegate* unmanaged<byte*, int*, int>)address)(text, &length);
        var all = Encoding.UTF8.GetString(text, Math.Clamp(length, 0, LongestVersion));
        return string.Join(' ', all.Split('\n')[0].TrimEnd('\0').Split([' ', '\t', ':'], StringSplitOptions.RemoveEmptyEntries));
    }
}
