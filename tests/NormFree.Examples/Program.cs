using NormFree.Inference;
using StbImageSharp;

using var network = PackedNetwork.Load("cifar10.packed.safetensors"); // no libtorch, no native code
var photo = ImageResult.FromMemory(File.ReadAllBytes("cat.jpg"), ColorComponents.RedGreenBlue); // or any other decoder

float[] image = ImageInput.Of(network.Model, photo.Data, photo.Height, photo.Width); // 3×H×W, normalised
float[] logits = new float[network.Classes];
network.Run(image, logits); // uses all processors; safe to call from any thread

Console.WriteLine(network.ClassNames[Array.IndexOf(logits, logits.Max())]);
