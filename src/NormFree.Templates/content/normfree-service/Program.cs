// Classifies uploaded JPEG and PNG images with a packed network:  dotnet run -- network.packed.safetensors
using NormFree.Inference;
using StbImageSharp;

const int maxBytes = 8 << 20, maxPixels = 40_000_000;

if (args is not [var path, ..])
{
    Console.Error.WriteLine("usage: dotnet run -- NETWORK.packed.safetensors");
    return 2;
}
using var network = PackedNetwork.Load(path); // once; any number of requests run it at the same time
var builder = WebApplication.CreateBuilder(args[1..]);
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = maxBytes);
var app = builder.Build();

app.MapGet("/health", () => new { status = "ok", classes = network.Classes });
app.MapPost("/classify", async (HttpRequest request) =>
{
    using var body = new MemoryStream();
    await request.Body.CopyToAsync(body);
    body.Position = 0;
    if (request.HasFormContentType && request.ContentType!.StartsWith("multipart/"))
        return Results.BadRequest(new { error = "the body is a form: send the image's bytes alone, as curl --data-binary @FILE does" });
    if (ImageInfo.FromStream(body) is not { } info) return Results.BadRequest(new { error = "the body is not a JPEG or PNG image" });
    if ((long)info.Width * info.Height > maxPixels) return Results.BadRequest(new { error = $"the image has more than {maxPixels} pixels" });
    try
    {
        return Results.Ok(Classify(ImageResult.FromMemory(body.ToArray(), ColorComponents.RedGreenBlue)));
    }
    catch (InvalidOperationException damage) // of the decoder
    {
        return Results.BadRequest(new { error = damage.Message });
    }
});
app.Run();
return 0;

// The five most probable classes.
object[] Classify(ImageResult photo)
{
    var logits = new float[network.Classes];
    network.Run(ImageInput.Of(network.Model, photo.Data, photo.Height, photo.Width), logits);
    var exponentials = logits.Select(logit => Math.Exp(logit - logits.Max())).ToArray();
    return exponentials
        .Select((value, label) => (name: network.ClassNames[label], probability: value / exponentials.Sum()))
        .OrderByDescending(guess => guess.probability)
        .Take(5)
        .Select(guess => (object)new { guess.name, guess.probability })
        .ToArray();
}
