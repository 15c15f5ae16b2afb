namespace NormFree.Inference.Threads;

/// <summary>Chooses whether the team or the caller alone runs few images, by the times that both took.</summary>
/// <remarks>
/// The team is faster as long as each thread has a processor. If another process takes one of them, every step waits for a thread that does not run. A few
/// runs are alone for comparison: an early one, one in a thousand, and one after a run that took much longer than the fastest one. While the team is slower
/// on average, most runs are alone, and the team is tried again after ever longer stretches. Callers use it one at a time, as they claim the team.
/// </remarks>
internal sealed class TeamChoice
{
    /// <summary>The share of the newest run in an average.</summary>
    private const double Newest = 0.125;

    /// <summary>A shared run that takes this much longer than the fastest one was probably interrupted.</summary>
    private const double Slow = 1.5;

    /// <summary>Shared runs before a run alone that only serves comparison: at first, after a slow run, and in any case.</summary>
    private const int FirstProbe = 8, ProbeIfSlow = 32, ProbeAnyway = 1000;

    /// <summary>The team is left after this many runs at least; the first of them, for which sleeping threads wake, does not count.</summary>
    private const int Trial = 5;

    private const int ShortestStretch = 32;
    private const int LongestStretch = 256;

    private double shared = double.NaN;
    private double alone = double.NaN;
    private double fastest = double.PositiveInfinity;
    private int trialRuns;
    private int aloneRuns;
    private int sinceProbe;
    private int stretch = ShortestStretch;

    /// <summary>Whether the next run is shared.</summary>
    public bool IsShared => aloneRuns == 0;

    /// <summary>Takes the time of the run that was chosen, per image and in any unit.</summary>
    public void Record(double time)
    {
        if (IsShared) RecordShared(time);
        else RecordAlone(time);
    }

    private static double Average(double before, double time) => double.IsNaN(before) ? time : before + Newest * (time - before);

    private void RecordAlone(double time)
    {
        // The team's earlier runs were slow, as code was compiled during them.
        if (double.IsNaN(alone)) StartTrial();
        alone = Average(alone, time);
        aloneRuns--;
    }

    private void RecordShared(double time)
    {
        if (trialRuns++ > 0) shared = Average(shared, time);
        fastest = Math.Min(fastest, time);
        sinceProbe++;
        if (sinceProbe > LongestStretch) stretch = ShortestStretch;
        if (shared > alone && trialRuns >= Trial) Leave();
        else if (sinceProbe >= RunsBeforeProbe(time)) (aloneRuns, sinceProbe) = (1, 0);
    }

    private int RunsBeforeProbe(double time) => double.IsNaN(alone) ? FirstProbe : time > Slow * fastest ? ProbeIfSlow : ProbeAnyway;

    private void StartTrial() => (trialRuns, shared) = (0, double.NaN);

    /// <summary>Runs alone for a stretch, after which the team is tried anew.</summary>
    private void Leave()
    {
        StartTrial();
        (aloneRuns, sinceProbe) = (stretch, 0);
        stretch = Math.Min(2 * stretch, LongestStretch);
    }
}
