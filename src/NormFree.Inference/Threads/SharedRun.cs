using System.Runtime.ExceptionServices;
using NormFree.Inference.Plans;

namespace NormFree.Inference.Threads;

/// <summary>A run whose images, or whose steps' tasks, are shared by several threads.</summary>
/// <remarks>
/// While there is an image for each member, members run whole images and never wait. For the remaining images they share the tasks of each step: every
/// member starts with its own part, whose memory is in its cache from the step before, and then helps the others.
/// </remarks>
/// <param name="members">Number of threads.</param>
internal sealed class SharedRun(int members)
{
    /// <summary>Distance between counters, so that no two share a cache line or a pair of lines.</summary>
    private const int Spacing = 32;

    private readonly Gate barrier = new();
    private readonly Arena[] arenas = new Arena[members];
    private readonly int[] barriers = new int[members * Spacing];
    private readonly int[] next = new int[members * Spacing];
    private int arrived;
    private ImageBatch batch;
    private Exception? failure;

    /// <summary>Takes the memory of a run; call it before the team runs.</summary>
    public void Begin(in ImageBatch images)
    {
        batch = images;
        failure = null;
        for (var member = 0; member < Math.Min(members, images.Count); member++) arenas[member] = images.Plan.Rent();
    }

    /// <summary>Returns the memory of a run; call it after the team has run.</summary>
    /// <remarks>Rethrows the first exception of a task.</remarks>
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

    /// <summary>Runs a member's part.</summary>
    public void Run(int member)
    {
        // The next run may begin right after the last barrier, so that the fields of this one must not be read then.
        var (steps, count) = (batch.Plan.Steps, batch.Count);
        var whole = count - count % members;
        if (whole > 0)
        {
            RunImages(member, whole);
            Barrier(member);
        }
        for (var image = whole; image < count; image++)
        {
            var frame = batch.Frame(image, arenas[0]);
            for (var step = 0; step < steps.Length; step++)
            {
                RunTasks(member, steps[step], frame);
                Barrier(member);
            }
        }
    }

    private void RunImages(int member, int images)
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

    private void RunTasks(int member, Step step, in Frame frame)
    {
        if (Volatile.Read(ref failure) is not null) return;
        try
        {
            for (var turn = 0; turn < members; turn++)
            {
                var owner = (member + turn) % members;
                var first = (int)((long)step.Tasks * owner / members);
                var end = (int)((long)step.Tasks * (owner + 1) / members);
                int task;
                while ((task = first + Interlocked.Increment(ref next[owner * Spacing]) - 1) < end) batch.Run(step, task, frame);
            }
        }
        catch (Exception error)
        {
            Interlocked.CompareExchange(ref failure, error, null);
        }
    }

    /// <summary>Waits for all members; the last one resets the task counters.</summary>
    private void Barrier(int member)
    {
        var passed = barriers[member * Spacing]++;
        if (Interlocked.Increment(ref arrived) < members)
        {
            barrier.Wait(passed);
            return;
        }
        arrived = 0;
        for (var owner = 0; owner < members; owner++) next[owner * Spacing] = 0;
        barrier.Open();
    }
}
