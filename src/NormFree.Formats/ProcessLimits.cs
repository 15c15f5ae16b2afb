using NormFree.Platform;

namespace NormFree.Formats;

/// <summary>Checks limits of the operating system that would otherwise fail somewhere in the runtime with an unrelated message.</summary>
public static class ProcessLimits
{
    /// <summary>Checks that the process may have enough files open. .NET keeps a file open for each assembly that it loads.</summary>
    /// <param name="needed">How many files the program needs.</param>
    /// <returns>Null, or a sentence that names the limit (<c>ulimit -n</c>) and how to raise it.</returns>
    public static string? OpenFilesProblem(int needed) =>
        ProcessControl.MaxOpenFiles() is { } limit && limit < needed
            ? $"The process may have {limit} files open, but needs {needed}: raise the limit with 'ulimit -n {needed}'."
            : null;
}
