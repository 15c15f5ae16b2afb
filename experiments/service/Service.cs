using System.Threading.RateLimiting;

namespace NormFree.Service;

/// <summary>The endpoints: POST /classify, GET /health and GET /metrics.</summary>
internal static class Service
{
    private const string Classify = "/classify";

    public static WebApplication Build(WebApplicationBuilder builder, Settings settings, Classifier classifier)
    {
        builder.Logging.AddFilter("Microsoft.AspNetCore", LogLevel.Warning); // no lines for each request
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = settings.MaxBytes);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(settings.ShutdownSeconds));
        builder.Services.AddProblemDetails(); // errors as JSON (RFC 9457)
        builder.Services.AddRateLimiter(limiter =>
        {
            limiter.AddPolicy(Classify, _ => RateLimitPartition.GetConcurrencyLimiter("", _ => new() { PermitLimit = settings.MaxRequests }));
            limiter.OnRejected = (context, _) => new ValueTask(Reject(context.HttpContext));
        });

        var app = builder.Build();
        var metrics = new Metrics();
        app.UseWhen(context => context.Request.Path == Classify, measured => measured.Use(metrics.Measure));
        app.UseExceptionHandler();
        app.UseStatusCodePages();
        app.UseRateLimiter();
        app.MapGet("/health", () => new { status = "ok", network = classifier.Network.Model.Architecture, classes = classifier.Network.Classes });
        app.MapGet("/metrics", () => Results.Text(metrics.Text(), Metrics.ContentType));
        app.MapPost(Classify, (HttpRequest request, int top = 5) => ClassifyAsync(request, top, classifier)).RequireRateLimiting(Classify);
        return app;
    }

    private static async Task<IResult> ClassifyAsync(HttpRequest request, int top, Classifier classifier)
    {
        if (request.ContentType?.StartsWith("multipart/", StringComparison.OrdinalIgnoreCase) == true)
            return Results.Problem("The body is a form: send the image's bytes alone.", statusCode: StatusCodes.Status415UnsupportedMediaType);
        try
        {
            using var body = new MemoryStream();
            await request.Body.CopyToAsync(body, request.HttpContext.RequestAborted);
            var predictions = await classifier.ClassifyAsync(body.ToArray(), request.HttpContext.RequestAborted);
            return Results.Ok(predictions.Take(Math.Max(1, top)));
        }
        catch (BadHttpRequestException error) // such as a body that exceeds MaxBytes
        {
            return Results.Problem(error.Message, statusCode: error.StatusCode);
        }
        catch (InvalidImageException error)
        {
            return Results.Problem(error.Message, statusCode: error.Status);
        }
    }

    private static Task Reject(HttpContext context)
    {
        context.Response.Headers.RetryAfter = "1";
        return Results.Problem("The service is busy: try again later.", statusCode: StatusCodes.Status503ServiceUnavailable).ExecuteAsync(context);
    }
}
