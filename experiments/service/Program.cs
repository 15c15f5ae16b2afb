using System.ComponentModel.DataAnnotations;
using NormFree.Formats;
using NormFree.Service;

try
{
    var builder = WebApplication.CreateBuilder(args);
    var settings = Settings.From(builder.Configuration);
    using var classifier = new Classifier(settings);
    await Service.Build(builder, settings, classifier).RunAsync(); // until SIGTERM or Ctrl-C, and requests in progress have ended
    return 0;
}
catch (Exception error) when (error is ValidationException or InvalidFileException or IOException or UnauthorizedAccessException
    or ArgumentException or InvalidOperationException)
{
    Console.Error.WriteLine(Printable.Lines(error.Message));
    return 1;
}
