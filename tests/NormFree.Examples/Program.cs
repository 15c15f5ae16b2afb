using NormFree.Training;

using var network = Predictor.Load("runs/cifar10-bn-free/stage2.best.safetensors");
Console.WriteLine($"{network.Classes.Length} classes, {network.Size}×{network.Size} images");

foreach (var (name, probability) in network.Classify("cat.jpg", count: 3))
    Console.WriteLine($"{name}: {probability:P1}");

var image = new float[3 * network.Size * network.Size]; // 3×H×W, normalised; or N of them
float[] logits = network.Logits(image);
