using System.Diagnostics;
using NormFree.Distributed.Mpi;

namespace NormFree.Distributed;

/// <summary>Entry point of distributed execution.</summary>
/// <example><code>
/// var ranks = Ranks.Join(TimeSpan.FromSeconds(30), Console.Error.WriteLine);
/// double images = ranks.Sum(mine)[0];
/// ranks.TryFinalBarrier(0, Timeout.InfiniteTimeSpan);
/// ranks.Leave();
/// </code></example>
public static class Ranks
{
    /// <summary>The default time after which a silent or stuck rank counts as lost.</summary>
    public static TimeSpan DefaultTimeout { get; } = TimeSpan.FromSeconds(30);

    /// <summary>Connects to the other processes that the launcher started. A process that was started alone becomes a single rank and loads no MPI.</summary>
    /// <param name="timeout">How long a rank may be silent, or lag, before the job is aborted.</param>
    /// <param name="onLost">Called with a message that names the lost ranks before the job is aborted.</param>
    /// <exception cref="DistributedException">Open MPI is not installed, the launcher belongs to another MPI, or not all processes started.</exception>
    public static IRanks Join(TimeSpan timeout, Action<string> onLost) =>
        Launcher.Processes == 1 ? OneRank.Instance : MpiRanks.Join(Launcher.Processes, timeout, onLost);
}

/// <summary>A job of a single process. Its sums are copies of its values.</summary>
public sealed unsafe class OneRank : IRanks
{
    /// <summary>The only instance; it has no state.</summary>
    public static OneRank Instance { get; } = new();

    private OneRank() { }

    /// <inheritdoc/>
    public int Size => 1;

    /// <inheritdoc/>
    public int Rank => 0;

    /// <inheritdoc/>
    public string NameOf(int rank) => $"rank {rank} on {Environment.MachineName}";

    /// <inheritdoc/>
    public IPendingSum BeginSum(nint values, nint sums, int count, NumberType type)
    {
        var bytes = (long)count * (type == NumberType.Float32 ? sizeof(float) : sizeof(double));
        Buffer.MemoryCopy((void*)values, (void*)sums, bytes, bytes);
        return new CompletedSum(Stopwatch.GetTimestamp());
    }

    /// <inheritdoc/>
    public long[] TryFinalBarrier(long status, TimeSpan timeout) => [status];

    /// <inheritdoc/>
    public void Leave() { }

    /// <inheritdoc/>
    public void Abort(int code) { }

    private sealed class CompletedSum(long time) : IPendingSum
    {
        public (long Start, long End) Timestamps => (time, time);

        public void Wait() { }
    }
}

/// <summary>What the environment variables say about the launcher that started this process.</summary>
public static class Launcher
{
    /// <summary>The variables in which launchers pass the number of processes: Open MPI's mpirun first, then Slurm and others.</summary>
    private static readonly string[] SizeVariables = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];

    /// <summary>The variables set by Slurm's <c>srun --mpi=pmix</c> and other PMIx launchers.</summary>
    private const string PmixRank = "PMIX_RANK", SlurmTasks = "SLURM_STEP_NUM_TASKS";

    /// <summary>The number of processes in the job; 1 if no MPI launcher started this process.</summary>
    public static int Processes => ProcessesOf(Environment.GetEnvironmentVariable);

    /// <summary>
    /// Whether mpirun kills ranks one second after SIGTERM, its default. That is too short for finishing a step and writing a checkpoint.
    /// mpirun passes its settings to ranks as environment variables.
    /// </summary>
    public static bool KillsRanksEarly =>
        Environment.GetEnvironmentVariable("OMPI_COMM_WORLD_SIZE") is not null
        && Environment.GetEnvironmentVariable("OMPI_MCA_odls_base_sigkill_timeout") is null;

    /// <summary><see cref="Processes"/> for a given environment.</summary>
    internal static int ProcessesOf(Func<string, string?> variable)
    {
        foreach (var name in SizeVariables)
            if (int.TryParse(variable(name), out var size)) return size;
        return variable(PmixRank) is not null && int.TryParse(variable(SlurmTasks), out var tasks) ? tasks : 1;
    }
}

/// <summary>The ranks of a job cannot communicate. The message says why and what to do.</summary>
public sealed class DistributedException(string message) : Exception(message);
