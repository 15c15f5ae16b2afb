using NormFree.Inference.Layers;
using NormFree.Inference.Model;

namespace NormFree.Inference.Plans;

/// <summary>Plans of the image sizes that were asked for last.</summary>
internal sealed class PlanCache(PackedModel model, IReadOnlyList<PreparedLayer> layers, int threads) : IDisposable
{
    private const int Most = 4;

    /// <summary>The one used last comes first.</summary>
    private readonly List<Plan> plans = new(Most + 1);

    /// <summary>The plan for images of a size.</summary>
    /// <exception cref="ArgumentException">The network cannot take such images.</exception>
    public Plan For(int height, int width)
    {
        lock (plans)
        {
            var at = Find(height, width);
            if (at == 0) return plans[0];
            var plan = at > 0 ? plans[at] : Create(height, width);
            if (at > 0) plans.RemoveAt(at);
            plans.Insert(0, plan);
            if (plans.Count > Most)
            {
                plans[Most].Retire();
                plans.RemoveAt(Most);
            }
            return plan;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var plan in plans) plan.Retire();
        plans.Clear();
    }

    private int Find(int height, int width)
    {
        for (var i = 0; i < plans.Count; i++)
            if (plans[i].Input.Size.Height == height && plans[i].Input.Size.Width == width) return i;
        return -1;
    }

    private Plan Create(int height, int width)
    {
        if (ModelChecks.FindFor(model, height, width) is { } problem) throw new ArgumentException($"Images of {height}×{width} do not fit: {problem}.");
        return Plan.OfNetwork(layers, new MapSize(height, width, model.Mean.Count), threads);
    }
}
