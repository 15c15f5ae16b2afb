using System.ComponentModel.DataAnnotations;

namespace NormFree.Service;

/// <summary>The service's settings: command-line options such as <c>--network FILE</c>, environment variables, or appsettings.json.</summary>
internal sealed record Settings
{
    /// <summary>Path of the packed network.</summary>
    [Required(ErrorMessage = "Give a packed network: --network FILE")]
    public string Network { get; init; } = "";

    /// <summary>Requests in progress. More are answered with 503 at once. This bounds the memory of uploads to MaxRequests × MaxBytes.</summary>
    [Range(1, 100_000)]
    public int MaxRequests { get; init; } = 128;

    /// <summary>Bytes of an upload.</summary>
    [Range(1, 1 << 30)]
    public int MaxBytes { get; init; } = 8 << 20;

    /// <summary>Pixels of an image. One decoded image takes 7 bytes per pixel, and one per processor is decoded at a time.</summary>
    [Range(1, 100_000_000)]
    public int MaxPixels { get; init; } = 24_000_000;

    /// <summary>Seconds that requests in progress get to finish after SIGTERM.</summary>
    [Range(0, 3600)]
    public int ShutdownSeconds { get; init; } = 30;

    /// <summary>Reads and validates the settings.</summary>
    /// <exception cref="InvalidOperationException">A value has the wrong type.</exception>
    /// <exception cref="ValidationException">A value is missing or out of range.</exception>
    public static Settings From(IConfiguration configuration)
    {
        var settings = configuration.Get<Settings>() ?? new Settings();
        Validator.ValidateObject(settings, new ValidationContext(settings), validateAllProperties: true);
        return settings;
    }
}
