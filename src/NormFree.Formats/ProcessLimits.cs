namespace NormFree.Formats;

/// <summary>Checks limits of the operating system that would otherwise fail somewhere in the runtime with an unrelated message.</summary>
public static class ProcessLimits
{
    /// <summary>Requires that the process may have enough files open: .NET keeps one open for each assembly that it loads.</summary>
    /// <param name="needed">How many files the program needs.</param>
    /// <exception cref="IOException">The limit (<c>ulimit -n</c>) is lower. The message says how to raise it.</exception>
    public static void RequireOpenFiles(int needed)
    {
        if (Posix.MaxOpenFiles() is { } limit && limit < needed)
            throw new IOException($"The process may open {limit} files, but NormFree needs {needed}: raise the limit with 'ulimit -n {needed}' or higher");
    }
}
