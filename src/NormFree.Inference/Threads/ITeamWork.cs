namespace NormFree.Inference.Threads;

/// <summary>What a <see cref="WorkerTeam"/> does.</summary>
internal interface ITeamWork
{
    /// <summary>A member's part. It does not throw, and no member returns before all have done theirs.</summary>
    void Run(int member);
}
