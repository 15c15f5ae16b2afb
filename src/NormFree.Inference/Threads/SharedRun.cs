using System.Runtime.ExceptionServices;
using NormFree.Inference.Plans;

namespace NormFree.Inference.Threads;

/// <summary>A run whose images, or whose steps' tasks, several threads share.</summary>
/// <remarks>
/// As long as there is an image for each member, members run whole images and never wait. The tasks of the remaining images' steps are shared: every
/// member begins with its own part of them, whose memory is in its cache from the step before, and then helps others.
/// </remarks>
/// <param name="members">How many threads.</param>
internal sealed class SharedRun(int members) : ITeamWork
{
    /// <summary>Counters lie so far apart that no two share a cache line, nor a pair of lines.</summary>
    private const int Spread = 32;

    private readonly Gate meeting = new();
    private readonly Arena[] arenas = new Arena[members];
    private readonly int[] meetings = new int[members * Spread];
    private readonly int[] next = new int[members * Spread];
    private int met;
    private ImageBatch batch;
    private Exception? failure;

    /// <summary>Takes what the run needs; call it before the team runs.</summary>
    public void Begin(in ImageBatch images)
    {
        batch = images;
        failure = null;
        for (var member = 0; member < Math.Min(members, images.Count); member++) arenas[member] = images.Plan.Rent();
    }

    /// <summary>Gives back what the run took; call it after the team has run.</summary>
    /// <remarks>Throws what a task has thrown first, as a run on the caller's thread alone would.</remarks>
    public void End()
    {
        for (var member = 0; member < members; member++)
        {
            if (arenas[member] is { } arena) batch.Plan.Return(arena);
            arenas[member] = null!;
        }
        batch = default;
        if (failure is not null) ExceptionDispatchInfo.Throw(failure);
    }

    /// <inheritdoc/>
    public void Run(int member)
    {
        // After the last meeting the next run may begin: nothing of this one is read then.
        var (steps, count) = (batch.Plan.Steps, batch.Count);
        var whole = count - count % members;
        if (whole > 0)
        {
            RunWhole(member, whole);
            Meet(member);
        }
        for (var image = whole; image < count; image++)
        {
            var frame = batch.Frame(image, arenas[0]);
            for (var step = 0; step < steps.Length; step++)
            {
                RunShare(member, steps[step], frame);
                Meet(member);
            }
        }
    }

    private void RunWhole(int member, int images)
    {
        try
        {
            int image;
            while ((image = Interlocked.Increment(ref next[0]) - 1) < images) batch.Run(image, arenas[member]);
        }
        catch (Exception error)
        {
            Interlocked.CompareExchange(ref failure, error, null);
        }
    }

    private void RunShare(int member, Step step, in Frame frame)
    {
        try
        {
            for (var turn = 0; turn < members; turn++)
            {
                var owner = (member + turn) % members;
                var first = (int)((long)step.Tasks * owner / members);
                var end = (int)((long)step.Tasks * (owner + 1) / members);
                int task;
                while ((task = first + Interlocked.Increment(ref next[owner * Spread]) - 1) < end) step.Run(task, frame);
            }
        }
        catch (Exception error)
        {
            Interlocked.CompareExchange(ref failure, error, null);
        }
    }

    /// <summary>Waits for all members; the last one prepares the next step.</summary>
    private void Meet(int member)
    {
        var times = meetings[member * Spread]++;
        if (Interlocked.Increment(ref met) < members)
        {
            meeting.Wait(times);
            return;
        }
        met = 0;
        for (var owner = 0; owner < members; owner++) next[owner * Spread] = 0;
        meeting.Open();
    }
}
