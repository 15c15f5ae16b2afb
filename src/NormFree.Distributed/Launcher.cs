namespace NormFree.Distributed;

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
    public static bool IsImpatient =>
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
