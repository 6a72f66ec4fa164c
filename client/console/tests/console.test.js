// Each flow of the console in a browser, on photos of the demo and the real server.
import "./flows/search.js";
import "./flows/request.js";
import "./flows/picks.js";
import "./flows/teach.js";
import "./flows/catalogue.js";
import "./flows/looks.js";
import "./flows/network.js";
