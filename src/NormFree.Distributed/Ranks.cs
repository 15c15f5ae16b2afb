using System.Diagnostics;
using NormFree.Distributed.Mpi;

namespace NormFree.Distributed;

/// <summary>The door to working together.</summary>
/// <example><code>
/// var ranks = Ranks.Join(TimeSpan.FromSeconds(30), Console.Error.WriteLine);
/// double images = ranks.Sum(mine)[0];
/// ranks.TryFinalBarrier(0, Timeout.InfiniteTimeSpan);
/// ranks.Leave();
/// </code></example>
public static class Ranks
{
    /// <summary>How long a rank may be missing if nothing is said.</summary>
    public static TimeSpan DefaultTimeout { get; } = TimeSpan.FromSeconds(30);

    /// <summary>Joins the processes that a launcher has started with this one; one that was started alone, or by no launcher, stays alone, and no
    /// MPI is looked for.</summary>
    /// <param name="patience">How long a rank may be silent or behind the others before the job is ended.</param>
    /// <param name="lost">Told which ranks are missing before the job is ended by <see cref="IRanks.Abort"/>.</param>
    /// <exception cref="DistributedException">There is no Open MPI, or the launcher is of another MPI.</exception>
    public static IRanks Join(TimeSpan patience, Action<string> lost) =>
        Launcher.Processes == 1 ? OneRank.Instance : MpiRanks.Join(Launcher.Processes, patience, lost);
}

/// <summary>A process that works alone: its sums are its values.</summary>
public sealed unsafe class OneRank : IRanks
{
    /// <summary>The only one; it has no state.</summary>
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
        return new Done(Stopwatch.GetTimestamp());
    }

    /// <inheritdoc/>
    public long[] TryFinalBarrier(long word, TimeSpan patience) => [word];

    /// <inheritdoc/>
    public void Leave() { }

    /// <inheritdoc/>
    public void Abort(int code) { }

    private sealed class Done(long time) : IPendingSum
    {
        public (long Begin, long End) Span => (time, time);

        public void Wait() { }
    }
}

/// <summary>Who has started this process: a launcher of MPI programs tells it so by the environment.</summary>
public static class Launcher
{
    /// <summary>The variables in which launchers give the number of processes: mpirun's, then those of Slurm and others.</summary>
    private static readonly string[] Sizes = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];

    /// <summary>The variables that Slurm's <c>srun --mpi=pmix</c> and other launchers by PMIx set.</summary>
    private const string PmixRank = "PMIX_RANK", SlurmTasks = "SLURM_STEP_NUM_TASKS";

    /// <summary>How many processes were started together; 1 where no launcher of MPI programs has started this one.</summary>
    public static int Processes => ProcessesOf(Environment.GetEnvironmentVariable);

    /// <summary>
    /// Whether mpirun kills ranks a second after it has asked them to end, which is its habit: too early for a step and a checkpoint. It passes its
    /// settings on as variables.
    /// </summary>
    public static bool KillsRanksEarly =>
        Environment.GetEnvironmentVariable("OMPI_COMM_WORLD_SIZE") is not null
        && Environment.GetEnvironmentVariable("OMPI_MCA_odls_base_sigkill_timeout") is null;

    /// <summary>The same in a given environment.</summary>
    internal static int ProcessesOf(Func<string, string?> variable)
    {
        foreach (var name in Sizes)
            if (int.TryParse(variable(name), out var size)) return size;
        return variable(PmixRank) is not null && int.TryParse(variable(SlurmTasks), out var tasks) ? tasks : 1;
    }
}

/// <summary>Ranks cannot work together; the message says why, and what to do.</summary>
public sealed class DistributedException(string message) : Exception(message);
