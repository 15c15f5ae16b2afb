using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace NormFree.Service;

/// <summary>Counts and times requests, and writes them in the text format of Prometheus.</summary>
internal sealed class Metrics
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>Upper bounds of the histogram's buckets, in seconds.</summary>
    private static readonly double[] Bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

    private readonly Lock gate = new();
    private readonly SortedDictionary<int, long> requests = [];
    private readonly long[] buckets = new long[Bounds.Length];
    private double seconds;
    private int inProgress;

    /// <summary>Middleware that measures each request.</summary>
    public async Task Measure(HttpContext context, RequestDelegate next)
    {
        Interlocked.Increment(ref inProgress);
        var start = Stopwatch.GetTimestamp();
        try
        {
            await next(context);
        }
        finally
        {
            Interlocked.Decrement(ref inProgress);
            Add(context.Response.StatusCode, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
    }

    private void Add(int status, double time)
    {
        lock (gate)
        {
            requests[status] = requests.GetValueOrDefault(status) + 1;
            seconds += time;
            for (var i = 0; i < Bounds.Length; i++)
                if (time <= Bounds[i]) buckets[i]++;
        }
    }

    /// <summary>All values now.</summary>
    public string Text()
    {
        var text = new StringBuilder();
        lock (gate)
        {
            Family("normfree_requests_total", "counter", "Classification requests by HTTP status.");
            foreach (var (status, count) in requests) Line($"normfree_requests_total{{status=\"{status}\"}} {count}");
            Family("normfree_request_seconds", "histogram", "Time from a request's headers to the end of its response.");
            for (var i = 0; i < Bounds.Length; i++) Line($"normfree_request_seconds_bucket{{le=\"{Bounds[i]}\"}} {buckets[i]}");
            Line($"normfree_request_seconds_bucket{{le=\"+Inf\"}} {requests.Values.Sum()}");
            Line($"normfree_request_seconds_sum {seconds}");
            Line($"normfree_request_seconds_count {requests.Values.Sum()}");
        }
        Family("normfree_requests_in_progress", "gauge", "Classification requests in progress.");
        Line($"normfree_requests_in_progress {Volatile.Read(ref inProgress)}");
        Family("process_resident_memory_bytes", "gauge", "Resident memory.");
        Line($"process_resident_memory_bytes {Environment.WorkingSet}");
        return text.ToString();

        void Family(string name, string type, string help) => Line($"# HELP {name} {help}\n# TYPE {name} {type}");

        void Line(FormattableString line) => text.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }
}
